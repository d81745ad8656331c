let
  f = x: y: x < y;
  number = f number 1.5;
in
[ number ]
