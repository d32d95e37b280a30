-- What screens sort and search datums by: what a datum read (paths, one a line; those of a datum
-- with many are not all there, input_count counts them), when its first try began, on which
-- worker of its job, how many it took, and how long its parts took. Datums from before this have defaults.

ALTER TABLE datums ADD COLUMN inputs VARCHAR DEFAULT '';
ALTER TABLE datums ADD COLUMN input_count BIGINT DEFAULT 0;
ALTER TABLE datums ADD COLUMN started_us BIGINT;
ALTER TABLE datums ADD COLUMN worker BIGINT DEFAULT 0;
ALTER TABLE datums ADD COLUMN tries BIGINT DEFAULT 0;
ALTER TABLE datums ADD COLUMN download_us BIGINT DEFAULT 0;
ALTER TABLE datums ADD COLUMN process_us BIGINT DEFAULT 0;
ALTER TABLE datums ADD COLUMN upload_us BIGINT DEFAULT 0;
