# since 2.34
# What `cargo xtask fuzz-eval` once found to differ.
let
  drv = derivation {
    name = "n";
    builder = "b";
    system = "s";
  };
in
{
  # sets are told apart when they are printed: `removeAttrs` makes a new one even if nothing goes
  removeNothing = removeAttrs drv [ ];
  pathsOfItsOwn = [
    <nix/x>
    (toString <nix/x>)
    (builtins.toXML <nix/x>)
  ];
  rootOfFiles = map (url: builtins.parseFlakeRef url) [
    "path:"
    "file:"
    "git+file:a"
  ];
  escapes = map (url: builtins.flakeRefToString (builtins.parseFlakeRef url)) [
    "github:(/b"
    "path:/a'!*,;=+&$~b?lastModified=1&narHash=x!*'()"
    "git+https://example.org/a(b?ref=c"
  ];
  absoluteNames = map (name: (builtins.tryEval (builtins.findFile [ { path = "/"; } ] name)).success) [
    "/nonexistent-a"
    "nonexistent-a"
  ];
  parents = map (name: builtins.findFile [ { path = toString ./.; } ] name == ./.) [
    ".."
    "/../.."
  ];
}
