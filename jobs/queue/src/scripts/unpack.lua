-- Deletes packs that this consumer still owns, after putting back, as entries of their own, those of their jobs that are
-- not done; answers the ids of the packs that it does not own.
-- KEYS: stream, count of the jobs that have no entry of their own. ARGV: group, consumer, then for each pack: id, how many
-- jobs it holds, how many of them are not done, and their places in it, from 1...
local others, at = {}, 3
while at <= #ARGV do
  local id, size, left = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])[1] then
    local entry = left > 0 and redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      local jobs, first, trace = {}, string.match(id, '^(%d+)-'), nil
      for i = 1, #entry[2], 2 do
        local name, value = entry[2][i], entry[2][i + 1]
        if name == 'job' then
          jobs[#jobs + 1] = value
        elseif name == 'at' then
          first = value
        elseif name == 'trace' then
          trace = value
        end
      end
      for i = at + 3, at + 2 + left do
        local add = { 'XADD', KEYS[1], '*', 'v', '1', 'at', first, 'job', jobs[tonumber(ARGV[i])] }
        if trace then
          add[#add + 1], add[#add + 2] = 'trace', trace
        end
        redis.call(unpack(add))
      end
    end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    if redis.call('DECRBY', KEYS[2], size - 1) <= 0 then
      redis.call('DEL', KEYS[2])
    end
  else
    others[#others + 1] = id
  end
  at = at + 3 + left
end
return others
