-- Deletes a consumer that owns nothing and has long been silent. XGROUP DELCONSUMER drops what the consumer owns,
-- so both must be seen in the same breath.
-- KEYS: stream. ARGV: group, consumer, the least silence in ms.
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do
    consumer[info[i]] = info[i + 1]
  end
  if consumer.name == ARGV[2] and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
