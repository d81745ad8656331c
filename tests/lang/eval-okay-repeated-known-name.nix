# Names that Nix knows before it reads a file come first in a group: what refers to them is the same cell.
let
  y = x;
  x = builtins.genList (n: n) 2;
  unknown = later;
  later = builtins.genList (n: n) 2;
  toString = seq;
  seq = builtins.genList (n: n) 2;
  split = fromTOML;
  fromTOML = builtins.genList (n: n) 2;
in
{
  known = [ y x ];
  new = [ unknown later ];
  earlier = [ toString seq ];
  later = [ split fromTOML ];
}
