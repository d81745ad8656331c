x: x-1: [ [ ] [ 1 [ 2 ] ] [ x.a x.b or 1 (x 1) x ] [x-1 x] ]
