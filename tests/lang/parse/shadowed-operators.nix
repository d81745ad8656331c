# since 2.34
let __sub = x: y: 1; __lessThan = 2; in [ (1 - 2) (1 < 2) (-1) ]
