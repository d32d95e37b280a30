-- Which of a branch's provenance does not make it follow: inputs with propagation_spec.never.

ALTER TABLE branches ADD COLUMN quiet_json VARCHAR DEFAULT '[]'; -- as provenance_json
