# `rec { __overrides = …; }`: a variable that stands alone is the attribute that the set has at that moment; what a
# thunk or a function refers to is the attribute that the set has when it is evaluated.
let
  inherit (builtins) seq deepSeq map head;
  id = x: x;
in
{
  alone = rec { __overrides = { x = x; }; x = 1; };
  aloneInherited = rec { __overrides = { inherit x; y = 2; }; x = 1; y = [ x ]; };
  swapped = rec { __overrides = { x = y; y = x; }; x = 1; y = 2; z = [ x y ]; };
  inList = rec { __overrides = { x = 2; z = [ x [ x ] (x + 0) ]; }; x = 1; };
  listBefore = rec { __overrides = let l = [ x [ x ] (x + 0) ]; in seq l { x = 2; z = l; }; x = 1; };
  listBeforeDeep = rec { __overrides = let l = [ x [ x ] (x + 0) ]; in deepSeq l { x = 2; z = l; }; x = 1; };
  listOfSet = rec { __overrides = seq l { x = 2; inherit l; }; l = [ x [ x ] (x + 0) ]; x = 1; m = l; };
  argument = rec { __overrides = { x = 2; z = id x; w = (y: [ y x ]) x; }; x = 1; };
  argumentBefore = rec { __overrides = let a = (y: [ y x (y + x) ]) x; in seq a { x = 2; z = a; }; x = 1; };
  functionBefore = rec { __overrides = let f = y: [ y x ]; in seq f { x = 2; z = f x; w = f; }; x = 1; v = __overrides.w x; };
  pattern = rec { __overrides = let f = { a ? x, b ? a }: [ a b ]; in { x = 2; z = f { }; w = f { a = x; }; }; x = 1; };
  patternBefore = rec {
    __overrides = let f = { a ? x, b ? a }: [ a b ]; z = f { }; in seq z { x = 2; inherit z; };
    x = 1;
  };
  inLet = rec { __overrides = let y = x; z = y; in seq y { x = 2; z = [ y z ]; }; x = 1; };
  inLetLater = rec { __overrides = { x = 2; z = let y = x; in [ y x ]; }; x = 1; };
  within = rec { __overrides = { s = { x = 2; y = x; }; z = with s; [ x y ]; }; s = { y = 3; }; x = 1; };
  set = rec { __overrides = let s = { inherit x; y.x = x; }; in seq s { x = 2; inherit s; }; x = 1; };
  inner = rec { __overrides = let s = rec { inherit x; y = x; z = t; t = x; }; in deepSeq s.y { x = 2; inherit s; }; x = 1; };
  text = rec { __overrides = let t = "${x}b"; in { x = "c"; a = t; b = seq t t; }; x = "a"; };
  textBefore = rec { __overrides = let t = "${x}b"; in seq t { x = "c"; a = t; }; x = "a"; };
  attribute = rec { __overrides = { x.y = 2; a = x.y; b = x ? y; c = x.y or 3; }; x = { z = 1; }; };
  branches = rec {
    __overrides = { x = "b"; };
    x = "a";
    f = y: if x == "a" then y + 1 else if x == "b" then y + 2 else y + 3;
    z = f 0;
  };
  arithmetic = rec { __overrides = { x = 5; }; x = 1; f = a: b: a * b; y = f (x - 1) (x * 2); z = id (x + 1); };
  dynamic = rec { __overrides = { x = 2; n = "m"; }; x = 1; n = "k"; ${n} = x; "${n}2" = [ x ]; };
  source = rec { __overrides = { s = { a = 2; }; }; s = { a = 1; }; inherit (s) a; b = a; };
  inherited = let x = 1; in rec { __overrides = { y = x; x = 2; }; inherit x; z = [ x ]; };
  nested = rec {
    __overrides = { x = 2; };
    x = 1;
    s = rec { __overrides = { inherit x; y = x; z = 3; }; z = x; y = z; w = [ x y z ]; };
  };
  nestedAlone = rec {
    __overrides = rec { __overrides = { x = x; y = [ x ]; }; x = 5; };
    x = 1;
    y = 2;
  };
  same = rec { __overrides = { g = f; }; f = a: a; g = 1; h = [ (f == f) ([ f ] == [ f ]) ([ f ] == [ g ]) ]; };
  sameBefore = rec { __overrides = let l = [ f ]; in seq l { f = a: a; e = [ f ] == l; d = l == l; }; f = a: a; };
  forced = rec { __overrides = seq (x + 1) { x = 2; }; x = 1; y = x; };
  forcedOther = rec { __overrides = seq y { x = 2; }; x = 1; y = x; z = x; };
  parts = map (s: s.z) [ (rec { __overrides = { x = 2; }; x = 1; z = x; }) (rec { __overrides = { }; x = 1; z = x; }) ];
  many = builtins.genList (n: rec { __overrides = { x = n; y = head [ x ]; }; x = 100; y = 0; z = y; }) 3;
  function = (rec { __overrides = { x = 2; }; x = 1; f = a: b: [ a b x ]; g = f x; }).g 3;
  tried = rec { __overrides = let t = builtins.tryEval (throw x); in seq t.success { x = "b"; inherit t; }; x = "a"; };
}
