-- What a job's datums were planned from (input and salt): a later job with the same key is
-- planned by the difference.
ALTER TABLE jobs ADD COLUMN plan_key VARCHAR DEFAULT '';
