[ (x: y: x) (x: x) (x :x) (x:x) (_a:1) ]
