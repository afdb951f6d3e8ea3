<#
.SYNOPSIS
Gathers what a report about these drivers needs into one folder: devices with their problem codes, packages, system
events, Driver Verifier's settings, the setup log, and the names of crash dumps. Changes nothing outside of the folder.
.PARAMETER Output
The folder to make; it must not exist yet.
.EXAMPLE
.\collect.ps1 -Output C:\netdma\report -WhatIf
#>
[CmdletBinding(SupportsShouldProcess)]
param([Parameter(Mandatory)] [string] $Output)
Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'netdma.psm1') -Force

Assert-NetDmaMachine
if (Test-Path -Path $Output) { throw "$Output exists already: give another name." }
if (-not $PSCmdlet.ShouldProcess($Output, 'gather a report')) { return }
New-Item -Path $Output -ItemType Directory | Out-Null

# A part that fails is said so in its file; the others are gathered all the same.
function Save-Part {
    param([string] $Name, [scriptblock] $Gather)
    $file = Join-Path -Path $Output -ChildPath $Name
    try {
        & $Gather 2>&1 | Out-File -FilePath $file -Encoding utf8 -Width 300
    } catch {
        "could not be gathered: $_" | Out-File -FilePath $file -Encoding utf8
    }
}

Save-Part -Name 'system.txt' -Gather { Get-CimInstance -ClassName Win32_OperatingSystem | Format-List -Property 'Caption', 'Version', 'BuildNumber' }
Save-Part -Name 'packages.txt' -Gather { Get-NetDmaInstalled | Format-Table -AutoSize }
Save-Part -Name 'devices.txt' -Gather {
    # Class System, our vendor ids, and the test client's root device, whether started or not.
    Get-PnpDevice | Where-Object -Property InstanceId -Match -Value '^(PCI\\VEN_(8086|1018)&|ROOT\\)' |
        Where-Object -FilterScript { $_.Service -in 'ioatdma', 'netdmatest' -or $_.FriendlyName -match 'I/OAT|QuickData|NetDMA' } |
        Format-List -Property 'InstanceId', 'FriendlyName', 'Service', 'Status', 'Problem', 'ConfigManagerErrorCode'
}
Save-Part -Name 'services.txt' -Gather { Get-CimInstance -ClassName Win32_SystemDriver | Where-Object -Property Name -In -Value (Get-NetDmaPackages) | Format-List -Property 'Name', 'State', 'StartMode', 'PathName' }
Save-Part -Name 'verifier.txt' -Gather { & verifier.exe /querysettings; & verifier.exe /query }
Save-Part -Name 'events.txt' -Gather {
    $names = 'Microsoft-Windows-Kernel-PnP', 'Microsoft-Windows-UserPnp', 'BugCheck', 'Microsoft-Windows-WER-SystemErrorReporting'
    $filter = @{ LogName = 'System'; ProviderName = $names }
    Get-WinEvent -FilterHashtable $filter -MaxEvents 200 -ErrorAction SilentlyContinue |
        Format-List -Property 'TimeCreated', 'ProviderName', 'Id', 'Message'
}
Save-Part -Name 'dumps.txt' -Gather {
    $dumps = @("$env:SystemRoot\MEMORY.DMP", "$env:SystemRoot\Minidump\*.dmp")
    Get-ChildItem -Path $dumps -ErrorAction SilentlyContinue |
        Format-Table -Property 'FullName', 'Length', 'LastWriteTime'
}
$setup = "$env:SystemRoot\INF\setupapi.dev.log"
if (Test-Path -Path $setup) { Copy-Item -Path $setup -Destination $Output }
Get-ChildItem -Path $Output
