x: [ x.a.b x."a b".c x.${"a"} x.${x} x."a${x}".b (x.a).b (x).a { a = 1; }.a (x.a x.b).c "s".a 1.5 ]
