-- One session per number and tenant: two of them would send twice as fast as either may.
CREATE UNIQUE INDEX sessions_number ON sessions (tenant_id, phone_number_id);
