-- Only a version that its gates rejected can be validated by hand. The operator refuses the action for other versions.
local status = obj.status or {}

local missed = false
for _, each in ipairs(status.gates or {}) do
  missed = missed or not each.passed
end

return {
  validate = {
    disabled = status.phase ~= "Rejected" or not missed,
    displayName = "Validate although its gates rejected it",
    iconClass = "fa fa-fw fa-gavel",
    params = {{name = "reason", default = ""}}
  }
}
