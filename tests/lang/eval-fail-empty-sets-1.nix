throw (builtins.groupBy builtins.typeOf [ { } (rec { }) { } ])
