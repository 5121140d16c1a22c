-- The provider's name of the message of an attempt that failed, of a delivery that a person had tried again since. What
-- is still told of that message says nothing about the next one.
ALTER TABLE deliveries ADD COLUMN ignored_message_id TEXT;
