<#
.SYNOPSIS
Removes what scripts\install.ps1 installed, clients first. Test signing and certificates only when asked.
.DESCRIPTION
netdma goes last: Windows keeps its image as long as a driver that imports from it is loaded. Not yet run on Windows
(docs/evidence.md).
.PARAMETER Everything
Also turns test signing off and takes the test certificate out of the machine's stores.
.EXAMPLE
.\remove.ps1 -WhatIf
#>
[CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
param([switch] $Everything)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'netdma.psm1') -Force

Assert-NetDmaMachine
$installed = @(Get-NetDmaInstalled)
if ($installed.Count -eq 0) { Write-Output -InputObject 'No package of ours is in the driver store.' }
$restart = $false
foreach ($name in 'netdmatest', 'ioatdma', 'netdma') {
    foreach ($package in @($installed | Where-Object -Property Package -EQ -Value $name)) {
        if ($PSCmdlet.ShouldProcess("$name ($($package.Published))", 'remove (pnputil /delete-driver /uninstall)')) {
            Invoke-NetDmaTool -Program 'pnputil.exe' -Arguments '/delete-driver', $package.Published, '/uninstall' -Good 0, 3010 |
                Out-Null
            if ($LASTEXITCODE -eq 3010) { $restart = $true }
        }
    }
}
if ($Everything) {
    foreach ($store in 'Root', 'TrustedPublisher') {
        # The subject that `cargo xtask package` gives its test certificate.
        Get-ChildItem -Path "Cert:\LocalMachine\$store" |
            Where-Object -Property Subject -Match -Value 'NetDMA.*[Tt]est' |
            ForEach-Object -Process {
                if ($PSCmdlet.ShouldProcess("store $store", "forget $($_.Subject) ($($_.Thumbprint))")) {
                    Remove-Item -Path $_.PSPath
                }
            }
    }
    if ((Test-NetDmaTestSigning) -and
        $PSCmdlet.ShouldProcess('this machine', 'refuse test-signed drivers again (bcdedit /set testsigning off)')) {
        Invoke-NetDmaTool -Program 'bcdedit.exe' -Arguments '/set', 'testsigning', 'off' | Out-Null
        $restart = $true
    }
}
if ($restart) { Write-Warning -Message 'Restart to finish.' }
