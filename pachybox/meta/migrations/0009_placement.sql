-- What runs a pipeline version ('process', 'podman'; '': process, from before there was a choice),
-- and the very image that its transform.image named when it was made.

ALTER TABLE pipelines ADD COLUMN runner VARCHAR DEFAULT '';
ALTER TABLE pipelines ADD COLUMN image_pin VARCHAR DEFAULT '';
ALTER TABLE pipeline_versions ADD COLUMN runner VARCHAR DEFAULT '';
ALTER TABLE pipeline_versions ADD COLUMN image_pin VARCHAR DEFAULT '';
