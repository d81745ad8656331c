# Chains of `if` that compare one thing with texts.
let
  kind = x:
    if x == "one" then 1
    else if x == "two" || x == "deux" then 2
    else if x == "" then 0
    else if x == "one" then 11
    else if x == "a text that is longer than a few words of memory" then 3
    else if x == "a text that is longer than a few words of memorY" then 4
    else "none of them";
  tag = s:
    if s ? skip then "skipped"
    else if s.tag == "null" || s.tag == "nil" then "n"
    else if s.tag == "a" then s.value
    else if s.tag == "b" then if s.value == "x" then "bx" else "b?"
    else if s.tag == "c" then "c"
    else if s.tag == 4 then "four"
    else "other";
  captured = x: map (y: if x == "p" then y else if x == "q" then y + 1 else if x == "r" then y + 2 else if x == "s" then y + 3 else -y) [ 1 2 ];
  long = "a text that is longer than a few words of memor";
in
[
  (map kind [ "one" "two" "deux" "" "three" "onE" "one " (long + "y") (long + "Y") long ])
  (map kind [ 1 1.0 null true [ "one" ] { } { outPath = "one"; } ./one (x: x) ])
  (kind (builtins.unsafeDiscardStringContext "${"o"}ne"))
  (map tag [ { skip = 1; } { tag = "nil"; } { tag = "a"; value = 7; } { tag = "b"; value = "x"; } { tag = "b"; value = 1; } { tag = "c"; } { tag = 4; } { tag = 4.0; } { tag = null; } ])
  (map captured [ "p" "q" "r" "s" "t" 1 ])
]
