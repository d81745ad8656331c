# Ends of lists, long ones and short ones, taken of lists and of such ends, in all places where lists are used.
let
  inherit (builtins) tail head length elemAt genList foldl' map filter concatLists elem sort toJSON;
  range = genList (n: n);
  long = range 40;
  drop = n: list: foldl' (rest: _: tail rest) list (range n);
  sum = list: if list == [ ] then 0 else head list + sum (tail list);
  lazy = tail ([ (throw "left out") ] ++ genList (n: if n == 20 then throw "not asked for" else n) 30);
  functions = genList (n: x: x + n) 12;
  self = tail (range 20 ++ [ (length self) ]);
in
{
  sums = map (n: sum (range n)) [ 0 1 8 9 10 40 ];
  ends = map (n: drop n long) [ 1 30 31 32 33 39 40 ];
  equal = [ (tail long == genList (n: n + 1) 39) (drop 5 long == drop 5 (range 40)) (tail long == long) (tail functions == tail functions) ];
  joined = tail (range 10) ++ drop 2 (range 12) ++ [ "last" ];
  lists = concatLists [ (drop 38 long) (drop 28 long) ];
  parts = [ (elemAt (drop 10 long) 5) (elem 3 (drop 4 long)) (length (drop 7 long)) (filter (n: n > 36) (tail long)) ];
  sorted = sort (a: b: a > b) (drop 20 long);
  json = toJSON (drop 29 long);
  lazy = [ (elemAt lazy 3) (length lazy) ];
  shared = let rest = tail long; in { a = rest; b = drop 1 long; };
  copies = genList (n: length (drop n (range (n + 12)))) 5;
  inherit self;
}
