-- Each new text starts one run. The resourceVersion makes the text unique, even after two clicks within one second.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/run-now"] = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
return obj
