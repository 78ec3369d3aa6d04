-- Any text that was not there before runs once. The resourceVersion makes two clicks in one second two texts.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/run-now"] = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
return obj
