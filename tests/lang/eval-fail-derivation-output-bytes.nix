# the parts of a character are outputs of different names
(derivation {
  name = "x";
  outputs = builtins.filter builtins.isString (builtins.split "" "€");
}).drvPath
