builtins.toJSON /nonexistent/path
