# a comment
/* long */ 1 /**/ + /***/ 2 /* * / ** */ # last
/** a doc comment */ + /* with
 lines */ 3
