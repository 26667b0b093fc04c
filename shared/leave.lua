-- Hand back what was received and never started, and leave the group, unless other entries are
-- pending: deleting their consumer would lose them.
-- KEYS: the stream. ARGV: group, consumer, entry ids to hand back. Returns 1 when the consumer left.
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 1 then
    -- Idle for a day and never delivered: the next consumer claims it at once, as attempt 1.
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'handed-back', 0, ARGV[i],
               'IDLE', 86400000, 'RETRYCOUNT', 0, 'JUSTID')
  end
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  return 1
end
return 0
