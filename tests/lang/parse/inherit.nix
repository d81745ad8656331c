# since 2.34
a: b: c: {
  inherit a;
  inherit;
  inherit b "c";
  inherit (a) d e "f g" ${"h"};
  inherit (a.b);
  inherit (b) i;
  j = 1;
}
