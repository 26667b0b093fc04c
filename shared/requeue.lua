-- Append what was buried again, once for each letter, however often it is asked for.
-- KEYS: the hash of the letters that were requeued, the stream, and the mark of the request where
-- the stream is `requests`.
-- ARGV: the letter's name, event bytes, "known" where a settled request must not run again.
-- Returns {what became of it, entry id or nothing}.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  return {'again', before}
end
if KEYS[3] then
  local state = redis.call('HGET', KEYS[3], 'state')
  if state == 'in_flight' then
    return {'in_flight', ''}
  end
  if state and ARGV[3] == 'known' then
    return {'settled', ''}
  end
  redis.call('HSET', KEYS[3], 'state', 'in_flight')
  redis.call('PERSIST', KEYS[3])
end
local entry_id = redis.call('XADD', KEYS[2], '*', 'event', ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], entry_id)
return {'new', entry_id}
