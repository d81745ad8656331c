(import <nix/fetchurl.nix> {
  url = "http://example.org/x";
  hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  name = "x";
  unpack = true;
  executable = x: x;
}).drvPath
