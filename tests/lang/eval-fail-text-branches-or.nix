let
  kind = x: if x == "a" || x == "e" then 1 else if x == "b" then 2 else if x == "c" then 3 else if x == "d" then 4 else 5;
in
kind (throw "no text")
