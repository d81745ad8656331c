# since 2.34
a: assert a; with a; let b = c; c = 1; inherit (a) d; in if b then c else if d then x: x else y: assert y; e
