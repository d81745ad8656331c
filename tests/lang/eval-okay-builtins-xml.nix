[
  (builtins.toXML { a = 1.5; b = [ null true "<&>\"\n" ]; f = { a, b ? 1, ... }@z: a; g = x: x; h = builtins.map; p = /a/b; i = builtins.add 1; j = { x }: x; })
  (builtins.toXML { type = "derivation"; drvPath = "/d"; outPath = "/o"; z = { type = "derivation"; drvPath = "/d"; outPath = "/o"; }; })
  (builtins.toXML { type = "derivation"; outPath = "/o"; })
  (builtins.toXML { type = "derivation"; drvPath = 1; })
]
