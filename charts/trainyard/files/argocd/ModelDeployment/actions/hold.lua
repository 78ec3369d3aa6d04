-- What serves stays, whatever is trained. The resourceVersion makes two clicks in one second two tokens.
local os = require("os")
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "hold/" .. token
return obj
