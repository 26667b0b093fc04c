-- Append a request once, whatever is delivered how often.
-- KEYS: the mark of the request id, the requests stream.
-- ARGV: SQS message id, receipt handle, event bytes.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'settled' then
  return 'settled'
end
redis.call('HSET', KEYS[1], 'state', 'in_flight', 'message:' .. ARGV[1], ARGV[2])
if state then
  return 'in_flight'
end
redis.call('XADD', KEYS[2], '*', 'event', ARGV[3])
return 'new'
