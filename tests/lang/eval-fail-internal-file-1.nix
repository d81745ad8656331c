import <nix/x>
