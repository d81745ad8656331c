# since 2.34
f: x: [
  (x.a or 1)
  (x.a.b or x.c or 2)
  (x.a or f x)
  x.or
  (x.or or x.or)
  (x.a or (f x).b)
  { or = 1; b = { inherit (x) or; }; }.or
]
