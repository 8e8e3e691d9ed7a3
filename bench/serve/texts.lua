-- wrk: one text per request, the texts of a file in turn.
--   wrk -t1 -c64 -d10 -s bench/serve/texts.lua http://localhost:8000/v1/embeddings -- texts.tsv MODEL
local bodies, at = {}, 0

local function quote(text)
    return '"' .. text:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

function init(arguments)
    local first = true
    for line in io.lines(arguments[1]) do
        if not first then -- the header
            local text = line:match("^[^\t]*")
            bodies[#bodies + 1] = '{"model":"' .. (arguments[2] or "minilm") .. '","encoding_format":"base64","input":' .. quote(text) .. "}"
        end
        first = false
    end
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    at = at % #bodies + 1
    return wrk.format(nil, nil, nil, bodies[at])
end

local bad = 0
function response(status)
    if status ~= 200 then bad = bad + 1 end
end
