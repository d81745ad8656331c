# The message quotes the character as it is, the excerpts are those of Nix's wrapper.
derivation {
  name = "o";
  builder = "b";
  system = "s";
  outputs = [ "\"" ];
}
