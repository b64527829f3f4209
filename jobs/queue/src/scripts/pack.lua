-- Pushes several jobs as one entry, and counts those that have none of their own.
-- KEYS: stream, count of these. ARGV: the entry's fields...
local jobs = 0
for i = 1, #ARGV, 2 do
  if ARGV[i] == 'job' then
    jobs = jobs + 1
  end
end
-- Whatever was deleted by hand, an empty stream holds no packs.
if redis.call('XLEN', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV))
redis.call('INCRBY', KEYS[2], jobs - 1)
return id
