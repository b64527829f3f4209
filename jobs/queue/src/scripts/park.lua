-- Gives what this consumer still owns to the consumer of parked entries, with an idle time that makes it due when
-- its delay has passed; answers the ids of what it does not own.
-- KEYS: stream. ARGV: group, consumer, parked consumer, then for each entry: id, idle time in ms, delivery count.
local others = {}
for i = 4, #ARGV, 3 do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if pending[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, id,
      'IDLE', ARGV[i + 1], 'RETRYCOUNT', ARGV[i + 2], 'JUSTID')
  else
    others[#others + 1] = id
  end
end
return others
