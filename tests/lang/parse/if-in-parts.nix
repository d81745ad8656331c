a: [ (if a then 1 else 2 + 3) (if if a then a else a then a else a) ]
