# since 2.34
[ (let in 1) (let a.b = 1; a.c = 2; in a) (let a = b; b = 1; in let b = a; in b) (let inherit (a) b; a = 1; in b) ]
