# since 2.34
s: t: {
  a = { inherit (s) b c; inherit t; };
  a = { inherit (t) d; inherit (s) e; };
  a.f = 1;
}
