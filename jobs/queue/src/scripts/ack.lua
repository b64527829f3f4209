-- Acknowledges and deletes what this consumer still owns; answers the ids of what it does not.
-- KEYS: stream. ARGV: group, consumer, ids...
local mine, others = {}, {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  local list = pending[1] and mine or others
  list[#list + 1] = ARGV[i]
end
if #mine > 0 then
  redis.call('XACK', KEYS[1], ARGV[1], unpack(mine))
  redis.call('XDEL', KEYS[1], unpack(mine))
end
return others
