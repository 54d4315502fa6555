-- Numbers that the controller itself keeps. seq_floor: changes have numbers
-- above it. A restored database sets it above all that agents may have heard
-- of, so that what they ask for next is everything.
CREATE TABLE numbers (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
