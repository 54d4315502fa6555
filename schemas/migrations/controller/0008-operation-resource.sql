-- What was done to one resource, newest first: GET /v1/operations with
-- filter=resource_id=ID. Both are in time order, so that an insert appends.
CREATE INDEX operations_resource ON operations (resource_id, id);
