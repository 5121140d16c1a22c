-- Only PostgreSQL vacuums by itself; the number stands here so that both have the same ones.
SELECT 1;
