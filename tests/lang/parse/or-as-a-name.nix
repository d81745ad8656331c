# since 2.34
let or = 1; f = x: y: x; in [ (f or) (f or 2) { inherit or; } ]
