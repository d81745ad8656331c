# Names that Nix knows before it reads a file come first in a group: what refers to them is the same cell.
let
  y = x;
  x = builtins.genList (n: n) 2;
  toString = seq;
  seq = builtins.genList (n: n) 2;
in
{
  known = [ y x ];
  earlier = [ toString seq ];
}
