let
  number = 2 * number;
in
number
