-- wrk: sends the prepared requests of <prefix>-<thread>, each once and in order, and prints one line of JSON.
--   wrk … -s load.lua http://127.0.0.1:PORT -- PREFIX [again]

local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
end

function init(args)
  prefix = args[1]
  -- Where nothing is kept, a request may be sent twice.
  again = args[2] == "again"
  sent, exhausted = 0, false
  file = assert(io.open(prefix .. "-" .. number, "rb"))
  file:setvbuf("full", 1048576)
  -- Before it starts, wrk asks the first thread for one request to look at, and does not send it.
  asked_to_show = number == 1
end

function request()
  local length = file:read(6)
  if not length and again then
    file:seek("set", 0)
    length = file:read(6)
  end
  if not length then
    exhausted = true
    wrk.thread:stop()
    return "GET /readyz HTTP/1.1\r\nHost: none\r\n\r\n"
  end
  local record = file:read(tonumber(length))
  if asked_to_show then
    asked_to_show = false
    file:seek("set", 0)
    return record
  end
  sent = sent + 1
  return record
end

-- No `response` function: it would make wrk build a table of headers for each answer. wrk counts refusals by itself.
function done(summary, latency)
  local per_thread, empty = {}, false
  for _, thread in ipairs(threads) do
    table.insert(per_thread, thread:get("sent"))
    empty = empty or thread:get("exhausted")
  end
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"answered":%d,"refused":%d,"broken":%d,"exhausted":%s,"seconds":%.6f,' ..
    '"p50_ms":%.3f,"p99_ms":%.3f,"sent":[%s]}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout, tostring(empty),
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    table.concat(per_thread, ",")))
end
