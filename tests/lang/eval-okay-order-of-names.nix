# A name has its place in the order of attributes from when it is first looked for, even in vain: then what it stands for
# is evaluated first, and fails in a way that can be caught.
let
  is-caught =
    place: look:
    let
      first = "first-${place}";
      second = "second-${place}";
      set = builtins.listToAttrs [
        {
          name = second;
          value = abort "evaluated first";
        }
        {
          name = first;
          value = throw "evaluated first";
        }
      ];
    in
    builtins.deepSeq (look first) (!(builtins.tryEval (builtins.deepSeq set null)).success);
in
builtins.mapAttrs is-caught {
  catAttrs = name: builtins.catAttrs name [ ];
  hasAttr = name: builtins.hasAttr name { };
  has = name: { } ? ${name};
  removeAttrs = name: removeAttrs { } [ name ];
  select = name: { }.${name} or null;
  unsafeGetAttrPos = name: builtins.unsafeGetAttrPos name { };
}
