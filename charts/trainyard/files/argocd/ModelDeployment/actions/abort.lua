-- Drop the candidate. The active version keeps serving.
-- The resourceVersion makes the token unique, even after two clicks within one second.
local os = require("os")
local token = os.date("!%Y%m%dT%H%M%SZ") .. "-" .. obj.metadata.resourceVersion
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["trainyard.dev/requested-action"] = "abort/" .. token
return obj
