INSERT INTO audit (caller, action, outcome, arguments, detail)
VALUES (%s, %s, %s, %s, %s);
